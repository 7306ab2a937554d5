"""An independent reader of weights of family corrections, written from docs/weights-format.md alone: the network that
read_payload.py asks. May not import anything of the engine.
"""
from read_weights import WeightsFile


class Network:
    def __init__(self, path):
        self.weights = WeightsFile(path)
        assert self.weights.metadata["family"] == "corrections"
        self.pairs, self.differences, self.magnitudes, self.from_context = (
            self.weights.config[k] for k in ("pairs", "differences", "magnitudes", "from_context"))

    def refine(self, inputs):
        """[points, 2] from [points, inputs]."""
        (said,) = self.weights.run("refine", inputs)
        return said
