"""`python -m nirc`"""

from nirc.cli import main

main()
