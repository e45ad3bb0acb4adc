"""The passes of nirc, one a file; the registry loads a file when its pass is asked for."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.passes import ModulePass


def _nir_infer_shapes() -> type[ModulePass]:
    from nirc.passes.nir_infer_shapes import NirInferShapesPass

    return NirInferShapesPass


def _nir_mend() -> type[ModulePass]:
    from nirc.passes.nir_mend import NirMendPass

    return NirMendPass


def _nir_inline_graphs() -> type[ModulePass]:
    from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

    return NirInlineGraphsPass


def _nir_drop_dead_nodes() -> type[ModulePass]:
    from nirc.passes.nir_drop_dead_nodes import NirDropDeadNodesPass

    return NirDropDeadNodesPass


def _nir_merge_parallel_linear() -> type[ModulePass]:
    from nirc.passes.nir_merge_parallel_linear import NirMergeParallelLinearPass

    return NirMergeParallelLinearPass


def _nir_fold_linear() -> type[ModulePass]:
    from nirc.passes.nir_fold_linear import NirFoldLinearPass

    return NirFoldLinearPass


def _nir_lower_avg_pool() -> type[ModulePass]:
    from nirc.passes.nir_lower_avg_pool import NirLowerAvgPoolPass

    return NirLowerAvgPoolPass


def _nir_recognize_neurons() -> type[ModulePass]:
    from nirc.passes.nir_recognize_neurons import NirRecognizeNeuronsPass

    return NirRecognizeNeuronsPass


def _nir_expand_neurons() -> type[ModulePass]:
    from nirc.passes.nir_expand_neurons import NirExpandNeuronsPass

    return NirExpandNeuronsPass


def _nir_settle() -> type[ModulePass]:
    from nirc.passes.nir_settle import NirSettlePass

    return NirSettlePass


def _convert_nir_to_snn() -> type[ModulePass]:
    from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass

    return ConvertNirToSnnPass


def _snn_flatten() -> type[ModulePass]:
    from nirc.passes.snn_flatten import SnnFlattenPass

    return SnnFlattenPass


def _snn_fold_linear_paths() -> type[ModulePass]:
    from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

    return SnnFoldLinearPathsPass


def _snn_carry_products() -> type[ModulePass]:
    from nirc.passes.snn_carry_products import SnnCarryProductsPass

    return SnnCarryProductsPass


def _snn_split_components() -> type[ModulePass]:
    from nirc.passes.snn_split_components import SnnSplitComponentsPass

    return SnnSplitComponentsPass


def _convert_snn_to_loops() -> type[ModulePass]:
    from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass

    return ConvertSnnToLoopsPass


def _snn_round_constants() -> type[ModulePass]:
    from nirc.passes.snn_round_constants import SnnRoundConstantsPass

    return SnnRoundConstantsPass


def _convert_loops_to_fixed() -> type[ModulePass]:
    from nirc.passes.convert_loops_to_fixed import ConvertLoopsToFixedPass

    return ConvertLoopsToFixedPass


def _convert_loops_to_llvm() -> type[ModulePass]:
    from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass

    return ConvertLoopsToLlvmPass


def _convert_snn_to_xylo() -> type[ModulePass]:
    from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass

    return ConvertSnnToXyloPass


def _xylo_fit_time_constants() -> type[ModulePass]:
    from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass

    return XyloFitTimeConstantsPass


def _xylo_choose_scales() -> type[ModulePass]:
    from nirc.passes.xylo_choose_scales import XyloChooseScalesPass

    return XyloChooseScalesPass


def _xylo_vendor_scales() -> type[ModulePass]:
    from nirc.passes.xylo_vendor_scales import XyloVendorScalesPass

    return XyloVendorScalesPass


def _xylo_quantize() -> type[ModulePass]:
    from nirc.passes.xylo_quantize import XyloQuantizePass

    return XyloQuantizePass


def _xylo_add_relays() -> type[ModulePass]:
    from nirc.passes.xylo_add_relays import XyloAddRelaysPass

    return XyloAddRelaysPass


def _xylo_place() -> type[ModulePass]:
    from nirc.passes.xylo_place import XyloPlacePass

    return XyloPlacePass


def _xylo_check_limits() -> type[ModulePass]:
    from nirc.passes.xylo_check_limits import XyloCheckLimitsPass

    return XyloCheckLimitsPass


def _convert_snn_to_speck() -> type[ModulePass]:
    from nirc.passes.convert_snn_to_speck import ConvertSnnToSpeckPass

    return ConvertSnnToSpeckPass


def _speck_quantize() -> type[ModulePass]:
    from nirc.passes.speck_quantize import SpeckQuantizePass

    return SpeckQuantizePass


def _speck_place() -> type[ModulePass]:
    from nirc.passes.speck_place import SpeckPlacePass

    return SpeckPlacePass


def _speck_check_limits() -> type[ModulePass]:
    from nirc.passes.speck_check_limits import SpeckCheckLimitsPass

    return SpeckCheckLimitsPass


def _convert_snn_to_loihi2() -> type[ModulePass]:
    from nirc.passes.convert_snn_to_loihi2 import ConvertSnnToLoihi2Pass

    return ConvertSnnToLoihi2Pass


def _loihi2_quantize() -> type[ModulePass]:
    from nirc.passes.loihi2_quantize import Loihi2QuantizePass

    return Loihi2QuantizePass


def _loihi2_vendor_quantize() -> type[ModulePass]:
    from nirc.passes.loihi2_vendor_quantize import Loihi2VendorQuantizePass

    return Loihi2VendorQuantizePass


def _loihi2_check_limits() -> type[ModulePass]:
    from nirc.passes.loihi2_check_limits import Loihi2CheckLimitsPass

    return Loihi2CheckLimitsPass


def _convert_snn_to_spinnaker2() -> type[ModulePass]:
    from nirc.passes.convert_snn_to_spinnaker2 import ConvertSnnToSpinnaker2Pass

    return ConvertSnnToSpinnaker2Pass


def _spinnaker2_quantize() -> type[ModulePass]:
    from nirc.passes.spinnaker2_quantize import Spinnaker2QuantizePass

    return Spinnaker2QuantizePass


def _spinnaker2_place() -> type[ModulePass]:
    from nirc.passes.spinnaker2_place import Spinnaker2PlacePass

    return Spinnaker2PlacePass


def _spinnaker2_check_limits() -> type[ModulePass]:
    from nirc.passes.spinnaker2_check_limits import Spinnaker2CheckLimitsPass

    return Spinnaker2CheckLimitsPass


PASSES: dict[str, Callable[[], type[ModulePass]]] = {
    "nir-infer-shapes": _nir_infer_shapes,
    "nir-mend": _nir_mend,
    "nir-inline-graphs": _nir_inline_graphs,
    "nir-drop-dead-nodes": _nir_drop_dead_nodes,
    "nir-merge-parallel-linear": _nir_merge_parallel_linear,
    "nir-fold-linear": _nir_fold_linear,
    "nir-lower-avg-pool": _nir_lower_avg_pool,
    "nir-recognize-neurons": _nir_recognize_neurons,
    "nir-expand-neurons": _nir_expand_neurons,
    "nir-settle": _nir_settle,
    "convert-nir-to-snn": _convert_nir_to_snn,
    "snn-flatten": _snn_flatten,
    "snn-fold-linear-paths": _snn_fold_linear_paths,
    "snn-carry-products": _snn_carry_products,
    "snn-split-components": _snn_split_components,
    "snn-round-constants": _snn_round_constants,
    "convert-snn-to-loops": _convert_snn_to_loops,
    "convert-loops-to-fixed": _convert_loops_to_fixed,
    "convert-loops-to-llvm": _convert_loops_to_llvm,
    "convert-snn-to-xylo": _convert_snn_to_xylo,
    "xylo-fit-time-constants": _xylo_fit_time_constants,
    "xylo-choose-scales": _xylo_choose_scales,
    "xylo-vendor-scales": _xylo_vendor_scales,
    "xylo-quantize": _xylo_quantize,
    "xylo-add-relays": _xylo_add_relays,
    "xylo-place": _xylo_place,
    "xylo-check-limits": _xylo_check_limits,
    "convert-snn-to-speck": _convert_snn_to_speck,
    "speck-quantize": _speck_quantize,
    "speck-place": _speck_place,
    "speck-check-limits": _speck_check_limits,
    "convert-snn-to-loihi2": _convert_snn_to_loihi2,
    "loihi2-quantize": _loihi2_quantize,
    "loihi2-vendor-quantize": _loihi2_vendor_quantize,
    "loihi2-check-limits": _loihi2_check_limits,
    "convert-snn-to-spinnaker2": _convert_snn_to_spinnaker2,
    "spinnaker2-quantize": _spinnaker2_quantize,
    "spinnaker2-place": _spinnaker2_place,
    "spinnaker2-check-limits": _spinnaker2_check_limits,
}
"""In the order in which a pipeline runs them."""
