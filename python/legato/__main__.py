"""python -m legato info: what this machine and this build offer."""

import sys


def info():
    import platform

    import legato as lg
    from legato import _core

    print(f"legato {lg.__version__}, Python {platform.python_version()}, {platform.platform()}")
    for kind in (lg.cpu, lg.gpu):
        for i in range(lg.device_count(kind)):
            device = lg.Device(kind, i)
            facts = ", ".join(f"{k} {v}" for k, v in lg.device_info(device).items())
            default = " (default)" if device == lg.default_device() else ""
            print(f"{device}{default}: {facts}")
    if lg.device_count(lg.gpu) == 0:
        print(f"no GPU: {_core._why_no_device(lg.gpu)}")
    functions = [f for f in vars(_core).values() if type(f).__name__ == "Function"]
    print(f"{len(functions)} functions in legato.core")


def main():
    if sys.argv[1:] == ["info"]:
        info()
        return 0
    print(__doc__.strip())
    return 0 if sys.argv[1:] in ([], ["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main())
