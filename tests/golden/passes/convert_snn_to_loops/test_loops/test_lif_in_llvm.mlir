builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.3", tensor<2xf32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>]}
  llvm.func @main(%0: i64, %input_x: !llvm.ptr {llvm.noalias}, %input_x_stride: i64, %state_n_v: !llvm.ptr {llvm.noalias}, %output_y: !llvm.ptr {llvm.noalias}, %output_y_stride: i64, %scratch_w: !llvm.ptr {llvm.noalias}, %constant_w_weight: !llvm.ptr {llvm.noalias}, %constant_n_gain: !llvm.ptr {llvm.noalias}) {
    %1 = llvm.mlir.constant(-2.500000e-01 : f32) : f32
    %2 = llvm.mlir.constant(1.000000e+00 : f32) : f32
    %3 = llvm.mlir.constant(7.500000e-01 : f32) : f32
    %4 = llvm.mlir.constant(3) : i64
    %5 = llvm.mlir.constant(1) : i64
    %6 = llvm.mlir.constant(2) : i64
    %7 = llvm.mlir.constant(0) : i64
    %8 = llvm.mlir.constant(0.000000e+00 : f32) : f32
    llvm.br ^bb1(%7 : i64)
  ^bb1(%9: i64):
    %10 = llvm.icmp "slt" %9, %0 : i64
    llvm.cond_br %10, ^bb2, ^bb15
  ^bb2:
    %11 = llvm.mul %9, %input_x_stride : i64
    %12 = llvm.mul %9, %output_y_stride : i64
    llvm.br ^bb3(%7 : i64)
  ^bb3(%13: i64):
    %14 = llvm.icmp "slt" %13, %6 : i64
    llvm.cond_br %14, ^bb4, ^bb5
  ^bb4:
    %15 = llvm.getelementptr inbounds %scratch_w[%13] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %8, %15 : f32, !llvm.ptr
    %16 = llvm.add %13, %5 : i64
    llvm.br ^bb3(%16 : i64)
  ^bb5:
    llvm.br ^bb6(%7 : i64)
  ^bb6(%17: i64):
    %18 = llvm.icmp "slt" %17, %4 : i64
    llvm.cond_br %18, ^bb7, ^bb11
  ^bb7:
    %19 = llvm.mul %17, %6 : i64
    %20 = llvm.add %11, %17 : i64
    %21 = llvm.getelementptr inbounds %input_x[%20] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %22 = llvm.load %21 : !llvm.ptr -> f32
    llvm.br ^bb8(%7 : i64)
  ^bb8(%23: i64):
    %24 = llvm.icmp "slt" %23, %6 : i64
    llvm.cond_br %24, ^bb9, ^bb10
  ^bb9:
    %25 = llvm.add %19, %23 : i64
    %26 = llvm.getelementptr inbounds %constant_w_weight[%25] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %27 = llvm.load %26 : !llvm.ptr -> f32
    %28 = llvm.getelementptr inbounds %scratch_w[%23] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %29 = llvm.load %28 : !llvm.ptr -> f32
    %30 = llvm.fmul %27, %22 : f32
    %31 = llvm.fadd %29, %30 : f32
    %32 = llvm.getelementptr inbounds %scratch_w[%23] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %31, %32 : f32, !llvm.ptr
    %33 = llvm.add %23, %5 : i64
    llvm.br ^bb8(%33 : i64)
  ^bb10:
    %34 = llvm.add %17, %5 : i64
    llvm.br ^bb6(%34 : i64)
  ^bb11:
    llvm.br ^bb12(%7 : i64)
  ^bb12(%35: i64):
    %36 = llvm.icmp "slt" %35, %6 : i64
    llvm.cond_br %36, ^bb13, ^bb14
  ^bb13:
    %37 = llvm.getelementptr inbounds %scratch_w[%35] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %38 = llvm.load %37 : !llvm.ptr -> f32
    %39 = llvm.getelementptr inbounds %state_n_v[%35] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %40 = llvm.load %39 : !llvm.ptr -> f32
    %41 = llvm.fmul %3, %40 : f32
    %42 = llvm.getelementptr inbounds %constant_n_gain[%35] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %43 = llvm.load %42 : !llvm.ptr -> f32
    %44 = llvm.fmul %43, %38 : f32
    %45 = llvm.fadd %41, %44 : f32
    %46 = llvm.fcmp "ogt" %45, %2 : f32
    %47 = llvm.select %46, %1, %45 : i1, f32
    %48 = llvm.zext %46 : i1 to i8
    %49 = llvm.add %12, %35 : i64
    %50 = llvm.getelementptr inbounds %output_y[%49] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    llvm.store %48, %50 : i8, !llvm.ptr
    %51 = llvm.getelementptr inbounds %state_n_v[%35] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %47, %51 : f32, !llvm.ptr
    %52 = llvm.add %35, %5 : i64
    llvm.br ^bb12(%52 : i64)
  ^bb14:
    %53 = llvm.add %9, %5 : i64
    llvm.br ^bb1(%53 : i64)
  ^bb15:
    llvm.return
  }
}
