"""The programs: a module of flags and work each, started by launch/."""
