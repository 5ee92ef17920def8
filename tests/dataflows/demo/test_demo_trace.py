from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.demo.trace import (
    ARRIVALS_A_MINUTE,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    PERCENTILES,
    TrafficError,
    read_trace,
    table_trace,
)

RECORDED = (
    Path(__file__).parents[4] / "shared/data/llm-traffic/AzureLLMInferenceTrace_2023_conv.csv"
)
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def _write(directory: Path, text: str | bytes) -> Path:
    path = directory / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(st.integers(0, 2**32))
def test_the_table_gives_its_arrivals_and_stays_within_its_quantiles(seed):
    trace = table_trace(seed)
    counts, _ = np.histogram(trace.offsets, 60, (0, trace.length))
    assert counts.tolist() == list(ARRIVALS_A_MINUTE)
    assert (np.diff(trace.offsets) >= 0).all()
    for tokens, quantiles in (
        (trace.input_tokens, INPUT_TOKENS),
        (trace.output_tokens, OUTPUT_TOKENS),
    ):
        assert tokens.min() >= quantiles[0]
        assert tokens.max() <= quantiles[-1]


def test_drawn_tokens_have_the_tables_quantiles():
    trace = table_trace(5)
    for tokens, quantiles in (
        (trace.input_tokens, INPUT_TOKENS),
        (trace.output_tokens, OUTPUT_TOKENS),
    ):
        for percentile, expected in zip(PERCENTILES[2:-2], quantiles[2:-2], strict=True):
            share = (tokens <= expected).mean()
            assert share == pytest.approx(percentile / 100, abs=0.02)


def test_the_same_seed_gives_the_same_table_and_another_another():
    assert np.array_equal(table_trace(3).input_tokens, table_trace(3).input_tokens)
    assert not np.array_equal(table_trace(3).input_tokens, table_trace(4).input_tokens)


@pytest.mark.data
@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
def test_the_table_is_what_the_recording_says():
    recorded = read_trace(RECORDED)
    counts, _ = np.histogram(recorded.offsets, 60, (0, recorded.offsets[-1]))
    assert counts.tolist() == list(ARRIVALS_A_MINUTE)
    for tokens, quantiles in (
        (recorded.input_tokens, INPUT_TOKENS),
        (recorded.output_tokens, OUTPUT_TOKENS),
    ):
        assert np.percentile(tokens, PERCENTILES) == pytest.approx(quantiles, abs=1)


def test_a_file_is_read_as_it_is_in_order_of_time(tmp_path):
    rows = (
        "2023-11-16 18:15:50.9951690,396,109\n\n2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16T18:15:48.5+00:00,0,0\n"
    )
    trace = read_trace(_write(tmp_path, "\ufeff" + HEADER + rows))
    assert trace.offsets == pytest.approx([0, 1.81941, 4.314579], abs=1e-5)
    assert trace.input_tokens.tolist() == [374, 0, 396]
    assert trace.output_tokens.tolist() == [44, 0, 109]
    assert trace.length == pytest.approx(4.314579 * 1.5, abs=1e-5)


def test_other_columns_and_another_order_are_fine(tmp_path):
    text = "GeneratedTokens,who,TIMESTAMP,ContextTokens\r\n7,x,2023-11-16 18:15:46,9\r\n"
    trace = read_trace(_write(tmp_path, text))
    assert (trace.input_tokens.tolist(), trace.output_tokens.tolist()) == ([9], [7])
    assert trace.length > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: no column TIMESTAMP; the first line must name"),
        ("time,ContextTokens,GeneratedTokens\n", ":1: no column TIMESTAMP"),
        (HEADER, ":1: no calls in the file; write a row"),
        (HEADER + "2023-11-16 18:15:46,1,2\nyesterday,1,2\n", ":3: TIMESTAMP 'yesterday' is no"),
        (HEADER + "2023-11-16 18:15:46,1\n", ":2: 2 cells, the header has 3; complete"),
        (HEADER + "2023-11-16 18:15:46,-1,2\n", ":2: ContextTokens '-1' is no count"),
        (HEADER + "2023-11-16 18:15:46,1,nan\n", ":2: GeneratedTokens 'nan' is no count"),
        (HEADER + "2023-11-16 18:15:46,1,\u0663\n", ":2: GeneratedTokens '\u0663' is no count"),
        (HEADER + "2023-11-16 18:15:46,1," + "9" * 6000 + "\n", "is no count of tokens; write"),
        (HEADER + '2023-11-16 18:15:46,"1"2,3\n', ":2: no valid CSV ("),
        (b"\xff\xfe\x00", ": no UTF-8 text; unpack or convert"),
    ],
)
def test_what_is_no_trace_is_named_with_its_place_and_the_mend(tmp_path, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(TrafficError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TrafficError, match="No such file or directory; name a file"):
        read_trace(tmp_path / "nowhere.csv")
