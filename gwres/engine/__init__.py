"""Where the items of a long job are worked on: processes of this machine, or Ray's."""
