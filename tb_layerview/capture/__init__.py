"""From a training to tensors: a folder for each way to train.

What is captured is measured (`measure`) and written (`writing`). Nothing in here reads a log.
"""
