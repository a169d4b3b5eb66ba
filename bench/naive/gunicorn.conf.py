"""gunicorn as it comes, with the flags that are known to help: threads, and a socket for each worker."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = int(os.environ["WEB_WORKERS"])
threads = 4
reuse_port = True
keepalive = 75
