"""How TensorBoard finds the plugin and is told to keep every step of it."""

from __future__ import annotations

import argparse

from tensorboard.plugins import base_plugin

from tb_layerview.format.names import PLUGIN_NAME


class LayerViewLoader(base_plugin.TBLoader):
    """Loads the Layers tab into TensorBoard; the entry point `tensorboard_plugins` names this class."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Makes both of TensorBoard's loaders keep all steps of `layerview`, unless the user gave a number for it.

        Without this the Python loader keeps 10 steps of an unknown plugin's tensors, the Rust loader 100. Flags are
        parsed before any loader starts, and 0 stands for all.
        """
        flags.samples_per_plugin = {PLUGIN_NAME: 0, **flags.samples_per_plugin}

    def load(self, context: base_plugin.TBContext) -> base_plugin.TBPlugin | None:
        """Returns the plugin, or None where TensorBoard serves no data to read (`--generic_data=false`)."""
        if context.data_provider is None:
            return None
        # Imported here, so that a fault in the plugin is TensorBoard's "failed to load plugin", not the end of it.
        from tb_layerview.serving.plugin import LayerViewPlugin

        return LayerViewPlugin(context)
