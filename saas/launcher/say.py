def say(line: str) -> None:
    print(line, flush=True)
