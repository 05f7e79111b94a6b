from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNKNOWN: _ClassVar[Mode]
    TRAIN: _ClassVar[Mode]
    EVALUATE: _ClassVar[Mode]
    PREDICT: _ClassVar[Mode]
    REPLAY: _ClassVar[Mode]
MODE_UNKNOWN: Mode
TRAIN: Mode
EVALUATE: Mode
PREDICT: Mode
REPLAY: Mode

class Model(_message.Message):
    __slots__ = ("format", "software", "layers", "tensors", "probe", "notes", "schedule", "crc32")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    format: int
    software: str
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    probe: Probe
    notes: _containers.RepeatedScalarFieldContainer[str]
    schedule: str
    crc32: int
    def __init__(self, format: _Optional[int] = ..., software: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ..., schedule: _Optional[str] = ..., crc32: _Optional[int] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("path", "class_name", "inputs", "sources", "window", "direct", "in_place")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    IN_PLACE_FIELD_NUMBER: _ClassVar[int]
    path: str
    class_name: str
    inputs: _containers.RepeatedScalarFieldContainer[int]
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    window: Window
    direct: bool
    in_place: bool
    def __init__(self, path: _Optional[str] = ..., class_name: _Optional[str] = ..., inputs: _Optional[_Iterable[int]] = ..., sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., direct: bool = ..., in_place: bool = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("size", "strides", "dilation", "padding_before", "padding_after", "transposed", "padding_mode")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    STRIDES_FIELD_NUMBER: _ClassVar[int]
    DILATION_FIELD_NUMBER: _ClassVar[int]
    PADDING_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PADDING_AFTER_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSED_FIELD_NUMBER: _ClassVar[int]
    PADDING_MODE_FIELD_NUMBER: _ClassVar[int]
    size: _containers.RepeatedScalarFieldContainer[int]
    strides: _containers.RepeatedScalarFieldContainer[int]
    dilation: _containers.RepeatedScalarFieldContainer[int]
    padding_before: _containers.RepeatedScalarFieldContainer[int]
    padding_after: _containers.RepeatedScalarFieldContainer[int]
    transposed: bool
    padding_mode: str
    def __init__(self, size: _Optional[_Iterable[int]] = ..., strides: _Optional[_Iterable[int]] = ..., dilation: _Optional[_Iterable[int]] = ..., padding_before: _Optional[_Iterable[int]] = ..., padding_after: _Optional[_Iterable[int]] = ..., transposed: bool = ..., padding_mode: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("file", "line", "is_class")
    FILE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    IS_CLASS_FIELD_NUMBER: _ClassVar[int]
    file: str
    line: int
    is_class: bool
    def __init__(self, file: _Optional[str] = ..., line: _Optional[int] = ..., is_class: bool = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("layer", "call", "kind", "name", "shape", "dtype", "axes", "function")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    layer: int
    call: int
    kind: str
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    axes: _containers.RepeatedScalarFieldContainer[str]
    function: str
    def __init__(self, layer: _Optional[int] = ..., call: _Optional[int] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., axes: _Optional[_Iterable[str]] = ..., function: _Optional[str] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("hash", "examples", "training", "source", "targets")
    HASH_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    hash: str
    examples: int
    training: bool
    source: str
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, hash: _Optional[str] = ..., examples: _Optional[int] = ..., training: bool = ..., source: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("name", "dtype", "shape", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...

class StepRecord(_message.Message):
    __slots__ = ("step", "mode", "columns", "scalars", "cost", "crc32")
    class ScalarsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SCALARS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    step: int
    mode: Mode
    columns: _containers.RepeatedCompositeFieldContainer[Columns]
    scalars: _containers.ScalarMap[str, float]
    cost: Cost
    crc32: int
    def __init__(self, step: _Optional[int] = ..., mode: _Optional[_Union[Mode, str]] = ..., columns: _Optional[_Iterable[_Union[Columns, _Mapping]]] = ..., scalars: _Optional[_Mapping[str, float]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., crc32: _Optional[int] = ...) -> None: ...

class Columns(_message.Message):
    __slots__ = ("tensor", "size", "nan", "pos_inf", "neg_inf", "zero", "negative", "min", "max", "mean", "std", "rms", "histograms", "units", "values", "p1", "p5", "p25", "p50", "p75", "p95", "p99", "silent", "sparse")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NAN_FIELD_NUMBER: _ClassVar[int]
    POS_INF_FIELD_NUMBER: _ClassVar[int]
    NEG_INF_FIELD_NUMBER: _ClassVar[int]
    ZERO_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    RMS_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAMS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    P1_FIELD_NUMBER: _ClassVar[int]
    P5_FIELD_NUMBER: _ClassVar[int]
    P25_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P75_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    tensor: _containers.RepeatedScalarFieldContainer[int]
    size: _containers.RepeatedScalarFieldContainer[int]
    nan: _containers.RepeatedScalarFieldContainer[int]
    pos_inf: _containers.RepeatedScalarFieldContainer[int]
    neg_inf: _containers.RepeatedScalarFieldContainer[int]
    zero: _containers.RepeatedScalarFieldContainer[int]
    negative: _containers.RepeatedScalarFieldContainer[int]
    min: _containers.RepeatedScalarFieldContainer[float]
    max: _containers.RepeatedScalarFieldContainer[float]
    mean: _containers.RepeatedScalarFieldContainer[float]
    std: _containers.RepeatedScalarFieldContainer[float]
    rms: _containers.RepeatedScalarFieldContainer[float]
    histograms: Section
    units: Section
    values: Section
    p1: _containers.RepeatedScalarFieldContainer[float]
    p5: _containers.RepeatedScalarFieldContainer[float]
    p25: _containers.RepeatedScalarFieldContainer[float]
    p50: _containers.RepeatedScalarFieldContainer[float]
    p75: _containers.RepeatedScalarFieldContainer[float]
    p95: _containers.RepeatedScalarFieldContainer[float]
    p99: _containers.RepeatedScalarFieldContainer[float]
    silent: _containers.RepeatedScalarFieldContainer[float]
    sparse: _containers.RepeatedCompositeFieldContainer[Sparse]
    def __init__(self, tensor: _Optional[_Iterable[int]] = ..., size: _Optional[_Iterable[int]] = ..., nan: _Optional[_Iterable[int]] = ..., pos_inf: _Optional[_Iterable[int]] = ..., neg_inf: _Optional[_Iterable[int]] = ..., zero: _Optional[_Iterable[int]] = ..., negative: _Optional[_Iterable[int]] = ..., min: _Optional[_Iterable[float]] = ..., max: _Optional[_Iterable[float]] = ..., mean: _Optional[_Iterable[float]] = ..., std: _Optional[_Iterable[float]] = ..., rms: _Optional[_Iterable[float]] = ..., histograms: _Optional[_Union[Section, _Mapping]] = ..., units: _Optional[_Union[Section, _Mapping]] = ..., values: _Optional[_Union[Section, _Mapping]] = ..., p1: _Optional[_Iterable[float]] = ..., p5: _Optional[_Iterable[float]] = ..., p25: _Optional[_Iterable[float]] = ..., p50: _Optional[_Iterable[float]] = ..., p75: _Optional[_Iterable[float]] = ..., p95: _Optional[_Iterable[float]] = ..., p99: _Optional[_Iterable[float]] = ..., silent: _Optional[_Iterable[float]] = ..., sparse: _Optional[_Iterable[_Union[Sparse, _Mapping]]] = ...) -> None: ...

class Sparse(_message.Message):
    __slots__ = ("name", "tensor", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("offset", "length", "crc32")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    offset: int
    length: _containers.RepeatedScalarFieldContainer[int]
    crc32: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, offset: _Optional[int] = ..., length: _Optional[_Iterable[int]] = ..., crc32: _Optional[_Iterable[int]] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("set_up_seconds", "logging_seconds", "training_seconds", "bytes", "skipped")
    SET_UP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LOGGING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    set_up_seconds: float
    logging_seconds: float
    training_seconds: float
    bytes: int
    skipped: int
    def __init__(self, set_up_seconds: _Optional[float] = ..., logging_seconds: _Optional[float] = ..., training_seconds: _Optional[float] = ..., bytes: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...
