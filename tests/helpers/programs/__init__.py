"""Programs as people write them, which know nothing of this project. Each runs by itself: `python NAME.py [FOLDER]`.

They have the structure of those that explanations of Estimators and Keras give where they say how a layer's values can,
or cannot, be had. `test_programs.py` adds the hook or the callback and compares.
"""
