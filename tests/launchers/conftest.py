"""Ray reads its environment when it is first imported, in whichever test that is."""

import os

from lico.launchers.tune.session import ENVIRONMENT, LOOPBACK_ONLY

os.environ.update(ENVIRONMENT | LOOPBACK_ONLY)
