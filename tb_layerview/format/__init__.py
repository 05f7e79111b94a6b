"""What a log holds, as values and as bytes, how it is called, and where its bytes lie.

The one package that both the writing and the reading side know. It imports nothing else of the project.
"""
