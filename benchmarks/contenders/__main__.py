"""`python -m benchmarks.contenders JSON`: run the contender that a job names."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
import json
import sys

from benchmarks.contenders import bodies, folder, many, pieces, shares, transfers
from benchmarks.contenders.job import Job
from benchmarks.measure import Figures

CONTENDERS: dict[str, Callable[[Job, Figures], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        transfers.upload_with_us,
        transfers.upload_with_core,
        transfers.upload_with_sdk,
        transfers.download_with_us,
        transfers.download_with_core,
        transfers.download_with_sdk,
        bodies.send_body,
        folder.folder_with_us,
        folder.page_with_core,
        many.many_with_us,
        many.many_with_core,
        pieces.pieces,
        shares.shares_of_upload,
    )
}


async def _main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    figures = Figures()
    await CONTENDERS[job.contender](job, figures)
    print(json.dumps(asdict(figures)))


asyncio.run(_main())
