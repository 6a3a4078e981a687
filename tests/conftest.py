import os

import torch
from hypothesis import HealthCheck, settings

# Two cores, shared with a browser and a kernel: a deadline would measure the machine.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Tensors this small gain nothing from a second thread, and crawl when it has to wait for something else.
torch.set_num_threads(1)
