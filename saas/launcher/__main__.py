import argparse
import os
import shutil
import sys

from saas.launcher import stack, state
from saas.launcher.account import postgres_account
from saas.launcher.environment import LOCAL, ROOT
from saas.launcher.errors import LauncherError
from saas.launcher.processes import end_with_parent
from saas.launcher.throwaway import run_with_servers


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m saas.launcher", description="Servers and processes of one clone."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the platform until Ctrl-C")
    commands.add_parser("env", help="print the running platform's addresses for a shell")
    commands.add_parser("clean", help="remove the data of `run`")
    for name, about in (
        ("exec", "run a command in the running platform's environment"),
        ("with-servers", "run a command with throw-away servers"),
        ("test", "run pytest with throw-away servers"),
    ):
        commands.add_parser(name, help=about).add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    os.chdir(ROOT)
    if "MAKELEVEL" in os.environ:
        end_with_parent()
    try:
        return perform(options.command, arguments=getattr(options, "arguments", []))
    except (LauncherError, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1


def perform(command: str, *, arguments: list[str]) -> int:
    arguments = arguments[1:] if arguments[:1] == ["--"] else arguments
    match command:
        case "run":
            stack.run()
        case "env":
            return state.main()
        case "exec":
            os.execvpe(arguments[0], arguments, state.running_environment(LOCAL))
        case "with-servers":
            return run_with_servers(arguments)
        case "test":
            return run_with_servers([sys.executable, "-m", "pytest", *arguments])
        case "clean":
            with state.only_one(LOCAL):
                postgres_account().remove(LOCAL / "postgres")
                shutil.rmtree(LOCAL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
