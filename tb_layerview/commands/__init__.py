"""The command `tb-layerview`, and `python -m tb_layerview`, which runs a script unchanged."""
