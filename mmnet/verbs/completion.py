"""The completion verb: what makes a shell complete verbs, flags and names."""

import argcomplete


def run(settings):
    print(argcomplete.shellcode(["mmnet"], shell=settings.shell))
    return 0
