"""The rules of health. `catalogue` lists them; adding one takes a class in here and a line there."""
