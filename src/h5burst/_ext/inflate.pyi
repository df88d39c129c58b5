from typing import Any

import numpy as np

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]

def inflate(data: _Bytes, out: _Bytes, level: int) -> int | str: ...
def inflate_both(
    first: _Bytes, first_out: _Bytes, second: _Bytes, second_out: _Bytes, level: int
) -> tuple[int | str, int | str]: ...
