"""batch.py [PROMPT..] [--model FILE]: a batch of prompts over the processes of a cluster, by dask.distributed.

Here the cluster is two processes of this machine; `Client("tcp://scheduler:8786")` is one of many machines. A Model is sent as
its path and options: every process maps the file itself, and those of one machine share its pages.
"""

import argparse
import os

from dask.distributed import Client, LocalCluster

import pith

PROMPTS = ("Once upon a time", "The fox and the lantern", "In a wood there lived", "The king had three sons")


def tell(prompt, model, n_tokens):
    """In a worker: the process that told it, and the text."""
    return os.getpid(), prompt + model.generate(prompt, max_tokens=n_tokens).read()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", nargs="*", default=PROMPTS)
    parser.add_argument("--model", help="a file that `pith quantize` made, at the same path everywhere")
    parser.add_argument("--tokens", type=int, default=40, help="of a text at most")
    options = parser.parse_args()
    model = pith.Model(options.model, threads=1)  # a worker is a core
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        texts = client.map(tell, options.prompts, model=model, n_tokens=options.tokens)
        for worker, text in client.gather(texts):
            print(f"[{worker}] {text}")


if __name__ == "__main__":
    main()
