"""What a runner and its worker agree on; `aria_core.worker.__main__` describes the rest."""

WORKER_VERSION = 2
PACKET_LIMIT = 32 * 1024
"""What the kernel keeps in one piece, whatever else waits."""
