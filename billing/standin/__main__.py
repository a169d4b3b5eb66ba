"""`python -m billing.standin`: the stand-in as a process of its own."""

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from billing.standin.server import API_KEY, WEBHOOK_SECRET, StandIn


def main() -> int:
    options = parse()
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, leave)
    try:
        standin = StandIn(**vars(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the Stripe stand-in cannot start: {error}\n")
        return 1
    with standin:
        sys.stdout.write(f"Stripe stand-in (not Stripe, no real money) ready at {standin.url}\n")
        sys.stdout.flush()
        try:
            standin.thread.join()
        except KeyboardInterrupt:
            return 0
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m billing.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", metavar="FILE.json", help="kept over a restart")
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--webhook-url", help="where events are delivered; without it they are only listed")
    parser.add_argument(
        "--webhook-secret",
        default=os.environ.get("STRIPE_WEBHOOK_SECRET") or WEBHOOK_SECRET,
        help="otherwise STRIPE_WEBHOOK_SECRET",
    )
    return parser.parse_args()


def leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
