import sys

from mmnet.cli import main

sys.exit(main())
