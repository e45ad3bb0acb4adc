builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.3", tensor<2xf32>, unit>, #cpu.argument<"scratch", "events.4", tensor<3xi32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>], lanes = 1 : i64}
  llvm.func @main(%0: i64, %input_x: !llvm.ptr {llvm.noalias}, %input_x_stride: i64, %state_n_v: !llvm.ptr {llvm.noalias}, %output_y: !llvm.ptr {llvm.noalias}, %output_y_stride: i64, %scratch_w: !llvm.ptr {llvm.noalias}, %scratch_events: !llvm.ptr {llvm.noalias}, %constant_w_weight: !llvm.ptr {llvm.noalias}, %constant_n_gain: !llvm.ptr {llvm.noalias}) {
    %1 = llvm.mlir.constant(-2.500000e-01 : f32) : f32
    %2 = llvm.mlir.constant(1.000000e+00 : f32) : f32
    %3 = llvm.mlir.constant(7.500000e-01 : f32) : f32
    %4 = llvm.mlir.constant(2) : i64
    %5 = llvm.mlir.constant(3) : i64
    %6 = llvm.mlir.constant(1) : i64
    %7 = llvm.mlir.constant(0.000000e+00 : f32) : f32
    %8 = llvm.mlir.constant(0) : i64
    llvm.br ^bb1(%8 : i64)
  ^bb1(%9: i64):
    %10 = llvm.icmp "slt" %9, %0 : i64
    llvm.cond_br %10, ^bb2, ^bb18
  ^bb2:
    %11 = llvm.mul %9, %input_x_stride : i64
    %12 = llvm.mul %9, %output_y_stride : i64
    llvm.br ^bb3(%8, %8 : i64, i64)
  ^bb3(%13: i64, %14: i64):
    %15 = llvm.icmp "slt" %13, %5 : i64
    llvm.cond_br %15, ^bb4, ^bb5
  ^bb4:
    %16 = llvm.add %11, %13 : i64
    %17 = llvm.getelementptr inbounds %input_x[%16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %18 = llvm.load %17 : !llvm.ptr -> f32
    %19 = llvm.fcmp "une" %18, %7 : f32
    %20 = llvm.trunc %13 : i64 to i32
    %21 = llvm.getelementptr inbounds %scratch_events[%14] : (!llvm.ptr, i64) -> !llvm.ptr, i32
    llvm.store %20, %21 : i32, !llvm.ptr
    %22 = llvm.select %19, %6, %8 : i1, i64
    %23 = llvm.add %14, %22 : i64
    %24 = llvm.add %13, %6 : i64
    llvm.br ^bb3(%24, %23 : i64, i64)
  ^bb5:
    llvm.br ^bb6(%8 : i64)
  ^bb6(%25: i64):
    %26 = llvm.icmp "slt" %25, %4 : i64
    llvm.cond_br %26, ^bb7, ^bb8
  ^bb7:
    %27 = llvm.getelementptr inbounds %scratch_w[%25] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %7, %27 : f32, !llvm.ptr
    %28 = llvm.add %25, %6 : i64
    llvm.br ^bb6(%28 : i64)
  ^bb8:
    llvm.br ^bb9(%8 : i64)
  ^bb9(%29: i64):
    %30 = llvm.icmp "slt" %29, %14 : i64
    llvm.cond_br %30, ^bb10, ^bb14
  ^bb10:
    %31 = llvm.getelementptr inbounds %scratch_events[%29] : (!llvm.ptr, i64) -> !llvm.ptr, i32
    %32 = llvm.load %31 : !llvm.ptr -> i32
    %33 = llvm.sext %32 : i32 to i64
    %34 = llvm.mul %33, %4 : i64
    %35 = llvm.add %11, %33 : i64
    %36 = llvm.getelementptr inbounds %input_x[%35] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %37 = llvm.load %36 : !llvm.ptr -> f32
    llvm.br ^bb11(%8 : i64)
  ^bb11(%38: i64):
    %39 = llvm.icmp "slt" %38, %4 : i64
    llvm.cond_br %39, ^bb12, ^bb13
  ^bb12:
    %40 = llvm.add %34, %38 : i64
    %41 = llvm.getelementptr inbounds %constant_w_weight[%40] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %42 = llvm.load %41 : !llvm.ptr -> f32
    %43 = llvm.getelementptr inbounds %scratch_w[%38] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %44 = llvm.load %43 : !llvm.ptr -> f32
    %45 = llvm.fmul %42, %37 : f32
    %46 = llvm.fadd %44, %45 : f32
    %47 = llvm.getelementptr inbounds %scratch_w[%38] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %46, %47 : f32, !llvm.ptr
    %48 = llvm.add %38, %6 : i64
    llvm.br ^bb11(%48 : i64)
  ^bb13:
    %49 = llvm.add %29, %6 : i64
    llvm.br ^bb9(%49 : i64)
  ^bb14:
    llvm.br ^bb15(%8 : i64)
  ^bb15(%50: i64):
    %51 = llvm.icmp "slt" %50, %4 : i64
    llvm.cond_br %51, ^bb16, ^bb17
  ^bb16:
    %52 = llvm.getelementptr inbounds %scratch_w[%50] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %53 = llvm.load %52 : !llvm.ptr -> f32
    %54 = llvm.getelementptr inbounds %state_n_v[%50] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %55 = llvm.load %54 : !llvm.ptr -> f32
    %56 = llvm.fmul %3, %55 : f32
    %57 = llvm.getelementptr inbounds %constant_n_gain[%50] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %58 = llvm.load %57 : !llvm.ptr -> f32
    %59 = llvm.fmul %58, %53 : f32
    %60 = llvm.fadd %56, %59 : f32
    %61 = llvm.fcmp "ogt" %60, %2 : f32
    %62 = llvm.select %61, %1, %60 : i1, f32
    %63 = llvm.zext %61 : i1 to i8
    %64 = llvm.add %12, %50 : i64
    %65 = llvm.getelementptr inbounds %output_y[%64] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    llvm.store %63, %65 : i8, !llvm.ptr
    %66 = llvm.getelementptr inbounds %state_n_v[%50] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %62, %66 : f32, !llvm.ptr
    %67 = llvm.add %50, %6 : i64
    llvm.br ^bb15(%67 : i64)
  ^bb17:
    %68 = llvm.add %9, %6 : i64
    llvm.br ^bb1(%68 : i64)
  ^bb18:
    llvm.return
  }
}
