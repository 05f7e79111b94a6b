"""The version of tb_layerview, said here and nowhere else."""

__version__ = "0.1.0"
