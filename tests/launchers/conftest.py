"""Ray decides how it authenticates when it is first imported, in whichever test that is."""

import os

from lico.launchers.tune.session import ENVIRONMENT

os.environ.update(ENVIRONMENT)
