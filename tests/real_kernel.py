"""A kernel in a process of its own, for tests that need real signals and real messages."""

import json
from contextlib import contextmanager
from pathlib import Path

TINY = Path(__file__).parents[1] / "nbllm" / "assets" / "tiny"
LARGE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
"""As many weights as a GPU needs some milliseconds a token for, lest all is over before an interrupt."""


def load_line(device, folder):
    """A cell that loads a model: the bundled one, on a GPU a large one with its tokenizer."""
    if device != "cuda":
        return f"%nbllm load tiny --device {device}"
    for file in TINY.glob("*.json"):
        changes = LARGE if file.name == "config.json" else {}
        (folder / file.name).write_text(json.dumps(json.loads(file.read_text()) | changes))
    return f"%nbllm load {folder} --load-format dummy --device cuda"


class Kernel:
    """Runs cells in a kernel and collects what they send. others: messages that no cell sent."""

    def __init__(self, manager, client):
        self.manager, self.client, self.others = manager, client, []

    def run(self, code, *, interrupt_when=None, again_after=None, interrupt=None):
        """(status of the reply, messages). interrupt_when: sends SIGINT at the first message it accepts.

        interrupt: what to do instead of that.
        """
        interrupt = interrupt or self.manager.interrupt_kernel
        request, messages = self.client.execute(code), []
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != request:
                self.others.append(message)
                continue
            messages.append(message)
            if interrupt_when and interrupt_when(message):
                interrupt_when = None
                interrupt()
                if again_after:
                    interrupt()
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"], messages

    def value(self, expression):
        """What `expression` prints in the kernel."""
        reply, messages = self.run(f"print({expression})")
        assert reply["status"] == "ok", reply
        return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream").strip()


@contextmanager
def running(environment, setup):
    """A `Kernel` in which `setup` has run."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    try:
        kernel = Kernel(manager, client)
        reply, _ = kernel.run(setup)
        assert reply["status"] == "ok", reply
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
