"""Errors that a person can mend, as one tree.

::

    AutotuneError              anything this program says in one line; exit status 1
    ├── InputError             what was typed or written can't be used; exit status 2
    │   ├── SpecError          the study spec: file, line, key, rule, value, remedy
    │   ├── TaskError          the task can't be found, imported or set up
    │   ├── StorageError       the database can't be opened, read or trusted
    │   │   └── StorageGoneError  its server has ended, or can't be reached
    │   ├── StudyNotFoundError no study of that name in the storage
    │   ├── SpecChangedError   the study exists with a spec that it can't go on with
    │   ├── StudyHeldError     another coordinator runs this study
    │   ├── DeviceError        a device that is not there
    │   └── PortError          an address that a server can't listen on
    └── RunError               a study or a trial that could not go on
        ├── StudyStoppedError  the first trials all failed alike
        ├── StudyCutOffError   the database took nothing more while trials trained
        ├── LeaseLostError     another coordinator took the study over
        ├── ForkServerError    the process that starts trials is gone
        └── ContestantLostError  a setting can't be measured (speed/measuring/arena.py)

A message reads *where: rule, got value; remedy*. Only the CLI turns these into a message
and an exit status; any other exception is a bug and shows its traceback.
"""


class AutotuneError(Exception):
    """Something went wrong that one line can explain."""

    exit_status = 1


class InputError(AutotuneError):
    """What was typed or written can't be used as it is."""

    exit_status = 2


class SpecError(InputError):
    """A study spec breaks a rule."""


class TaskError(InputError):
    """A task can't be found, imported or set up."""


class StorageError(InputError):
    """A database can't be opened, read or trusted."""


class StorageGoneError(StorageError):
    """A database's server has ended or can't be reached; it may come back."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause
        """What the driver says, in one line."""


class StudyNotFoundError(InputError):
    """The storage has no study of this name."""


class SpecChangedError(InputError):
    """The study exists, with a spec that Optuna can't go on with."""


class StudyHeldError(InputError):
    """Another coordinator runs this study."""


class DeviceError(InputError):
    """A device was asked for that is not there."""


class PortError(InputError):
    """A server can't listen on this address."""


class RunError(AutotuneError):
    """A study or a trial could not go on."""


class StudyStoppedError(RunError):
    """The first trials of a study all failed with the same error."""


class StudyCutOffError(RunError):
    """The database took nothing more while trials trained; the next start goes on."""


class LeaseLostError(RunError):
    """Another coordinator took the study over; this one may write no more."""


class ForkServerError(RunError):
    """The process that starts trials has ended."""
