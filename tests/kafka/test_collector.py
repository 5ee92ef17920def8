"""What a real Collector's Kafka exporter writes, in every encoding and compression, is what was told it."""

from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from google.protobuf.json_format import MessageToJson, Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.receivers.json import to_protobuf
from tests.kafka import collector
from tests.kafka.broker import Broker
from tests.kafka.captures import COMPRESSIONS, ENCODINGS, SIGNALS, captured, written
from tests.kafka.readers import Readers, ended
from tests.kafka.said import SPANS

pytestmark = pytest.mark.timeout(300)
