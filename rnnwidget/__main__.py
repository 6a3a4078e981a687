import sys

from rnnwidget.demo import main

sys.exit(main())
