"""How much memory this process had at its most; for programs that tests start."""


def peak() -> int:
    """Kilobytes. Not getrusage: its figure begins at that of the process which started this one."""
    with open("/proc/self/status") as status:  # noqa: PTH123  # such a program imports as little as it can
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1])
