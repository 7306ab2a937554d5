"""Puts the package of this tree on the path. H5NEURAL_PLUGIN_DIR, or a built tree, says where the plugin is."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
