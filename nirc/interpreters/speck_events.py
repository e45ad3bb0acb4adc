"""The loop over events of one Speck core, compiled once for all cores; numpy takes 20 us an event, this one below 1 us.

    for each event (channel, y, x):                               for each tick of the slow clock (an event below 0):
        for oy, ox with dy = y + pad_y - oy stride_y in [0, k)        for each neuron j, the last one first:
                        dx = x + pad_x - ox stride_x in [0, k):           update(j, biases[feature of j])
            for each feature f:
                update((oy, ox, f), weights[channel, dy, dx, f])

    update(j, amount): v[j] = max(v[j] + amount, low); where v[j] >= theta: a spike of j, v[j] = 0 or v[j] - theta

Membranes stand in the order [row, column, feature], weights in [channel, row, column, feature].
"""

from __future__ import annotations

import ctypes
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from nirc.dialects.dense import Array

_POINTERS = ("events", "v", "weights", "biases", "spikes", "times")
_SIZES = tuple(
    "n room in_rows in_columns k stride_y stride_x pad_y pad_x rows columns features theta low zero".split()  # noqa: SIM905
)
_ARGUMENTS = ", ".join([*(f"ptr %{name}" for name in _POINTERS), *(f"i64 %{name}" for name in _SIZES)])

_TEXT = f"""
declare i32 @llvm.smax.i32(i32, i32)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)

; One neuron; returns the number of spikes so far. A spike's place is written in any case, and kept where it fired.
define internal i64 @update(ptr %v, i64 %j, i32 %amount, i32 %theta, i32 %low, i1 %to_zero, ptr %spikes, i64 %count)
    alwaysinline {{
  %at = getelementptr i32, ptr %v, i64 %j
  %before = load i32, ptr %at
  %sum = add i32 %before, %amount
  %u = call i32 @llvm.smax.i32(i32 %sum, i32 %low)
  %fires = icmp sge i32 %u, %theta
  %less = sub i32 %u, %theta
  %rest = select i1 %to_zero, i32 0, i32 %less
  %after = select i1 %fires, i32 %rest, i32 %u
  store i32 %after, ptr %at
  %place = getelementptr i64, ptr %spikes, i64 %count
  store i64 %j, ptr %place
  %one = zext i1 %fires to i64
  %next = add i64 %count, %one
  ret i64 %next
}}

; The outputs that a row or column reaches: the first, and one more than the last.
define internal i64 @first(i64 %n, i64 %k, i64 %stride) alwaysinline {{
  %n1 = add i64 %n, 1
  %beyond = sub i64 %n1, %k
  %least = call i64 @llvm.smax.i64(i64 %beyond, i64 0)
  %up = add i64 %least, %stride
  %up1 = sub i64 %up, 1
  %first = sdiv i64 %up1, %stride
  ret i64 %first
}}
define internal i64 @stop(i64 %n, i64 %stride, i64 %size) alwaysinline {{
  %last = sdiv i64 %n, %stride
  %after = add i64 %last, 1
  %stop = call i64 @llvm.smin.i64(i64 %after, i64 %size)
  ret i64 %stop
}}

; Returns the number of events done: all, or as many as there is room for their spikes.
define i64 @run({_ARGUMENTS}) {{
entry:
  %theta32 = trunc i64 %theta to i32
  %low32 = trunc i64 %low to i32
  %to_zero = trunc i64 %zero to i1
  %places = mul i64 %rows, %columns
  %size = mul i64 %places, %features
  %in_places = mul i64 %in_rows, %in_columns
  br label %event
event:
  %e = phi i64 [0, %entry], [%e.next, %end]
  %count = phi i64 [0, %entry], [%count.end, %end]
  %more = icmp slt i64 %e, %n
  %worst = add i64 %count, %size
  %fits = icmp sle i64 %worst, %room
  %go = and i1 %more, %fits
  br i1 %go, label %begin, label %done
done:
  ret i64 %e
begin:
  %event.at = getelementptr i64, ptr %events, i64 %e
  %at = load i64, ptr %event.at
  %is_tick = icmp slt i64 %at, 0
  br i1 %is_tick, label %tick, label %place

tick:
  %j = phi i64 [%size, %begin], [%j.next, %tick.neuron]
  %count.tick = phi i64 [%count, %begin], [%count.ticked, %tick.neuron]
  %j.next = sub i64 %j, 1
  %tick.more = icmp sge i64 %j.next, 0
  br i1 %tick.more, label %tick.neuron, label %end
tick.neuron:
  %tick.f = srem i64 %j.next, %features
  %bias.at = getelementptr i32, ptr %biases, i64 %tick.f
  %bias = load i32, ptr %bias.at
  %count.ticked = call i64 @update(ptr %v, i64 %j.next, i32 %bias, i32 %theta32, i32 %low32, i1 %to_zero,
                                   ptr %spikes, i64 %count.tick)
  br label %tick

place:
  %channel = sdiv i64 %at, %in_places
  %in_place = srem i64 %at, %in_places
  %y = sdiv i64 %in_place, %in_columns
  %x = srem i64 %in_place, %in_columns
  %py = add i64 %y, %pad_y
  %px = add i64 %x, %pad_x
  %oy.first = call i64 @first(i64 %py, i64 %k, i64 %stride_y)
  %ox.first = call i64 @first(i64 %px, i64 %k, i64 %stride_x)
  %oy.stop = call i64 @stop(i64 %py, i64 %stride_y, i64 %rows)
  %ox.stop = call i64 @stop(i64 %px, i64 %stride_x, i64 %columns)
  %taps = mul i64 %channel, %k
  br label %row
row:
  %oy = phi i64 [%oy.first, %place], [%oy.next, %row.end]
  %count.row = phi i64 [%count, %place], [%count.column, %row.end]
  %row.more = icmp slt i64 %oy, %oy.stop
  br i1 %row.more, label %row.begin, label %end
row.begin:
  %oy.far = mul i64 %oy, %stride_y
  %dy = sub i64 %py, %oy.far
  %tap.row = add i64 %taps, %dy
  %tap.first = mul i64 %tap.row, %k
  %place.row = mul i64 %oy, %columns
  br label %column
column:
  %ox = phi i64 [%ox.first, %row.begin], [%ox.next, %column.end]
  %count.column = phi i64 [%count.row, %row.begin], [%count.feature, %column.end]
  %column.more = icmp slt i64 %ox, %ox.stop
  br i1 %column.more, label %column.begin, label %row.end
column.begin:
  %ox.far = mul i64 %ox, %stride_x
  %dx = sub i64 %px, %ox.far
  %tap = add i64 %tap.first, %dx
  %weight.first = mul i64 %tap, %features
  %out = add i64 %place.row, %ox
  %neuron.first = mul i64 %out, %features
  br label %feature
feature:
  %f = phi i64 [0, %column.begin], [%f.next, %feature.neuron]
  %count.feature = phi i64 [%count.column, %column.begin], [%count.next, %feature.neuron]
  %feature.more = icmp slt i64 %f, %features
  br i1 %feature.more, label %feature.neuron, label %column.end
feature.neuron:
  %neuron = add i64 %neuron.first, %f
  %weight.n = add i64 %weight.first, %f
  %weight.at = getelementptr i32, ptr %weights, i64 %weight.n
  %weight = load i32, ptr %weight.at
  %count.next = call i64 @update(ptr %v, i64 %neuron, i32 %weight, i32 %theta32, i32 %low32, i1 %to_zero,
                                 ptr %spikes, i64 %count.feature)
  %f.next = add i64 %f, 1
  br label %feature
column.end:
  %ox.next = add i64 %ox, 1
  br label %column
row.end:
  %oy.next = add i64 %oy, 1
  br label %row

end:
  %count.end = phi i64 [%count.tick, %tick], [%count.row, %row]
  %spiked = sub i64 %count.end, %count
  %times.at = getelementptr i64, ptr %times, i64 %e
  store i64 %spiked, ptr %times.at
  %e.next = add i64 %e, 1
  br label %event
}}
"""


@cache
def _compiled() -> tuple[llvm.ExecutionEngine, int]:
    """The engine, which has to live as long as anyone calls the function, and its address."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(llvm.get_host_cpu_name(), opt=2)
    module = llvm.parse_assembly(_TEXT)
    module.verify()
    passes = llvm.create_pass_builder(target, llvm.PipelineTuningOptions(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return engine, engine.get_function_address("run")


_ROOM = 1 << 20


def run_core(events: Array, v: Array, weights: Array, biases: Array, geometry: dict[str, int]) -> tuple[Array, Array]:
    """Feed events (int64: flat [channel, row, column], or below 0 for a tick); v (int32) changes in place.

    geometry: the sizes of `_SIZES` but n and room. Returns the neurons that fired, in order, and how many each event
    made fire.
    """
    if (v.dtype, weights.dtype, biases.dtype, events.dtype) != (np.int32, np.int32, np.int32, np.int64):
        raise TypeError("membranes, weights and biases are int32, events int64")
    _, address = _compiled()
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * len(_POINTERS), *[ctypes.c_int64] * len(_SIZES))(
        address
    )
    room = max(_ROOM, v.size)
    spikes, times = np.zeros(room + 1, np.int64), np.zeros(len(events), np.int64)
    found, done = [np.zeros(0, np.int64)], 0
    while done < len(events):
        pointers = (events[done:], v, weights, biases, spikes, times[done:])
        sizes = {**geometry, "n": len(events) - done, "room": room}
        ran: int = function(*(array.ctypes.data for array in pointers), *(sizes[name] for name in _SIZES))
        found.append(spikes[: times[done : done + ran].sum()].copy())
        done += ran
    return np.concatenate(found), times
