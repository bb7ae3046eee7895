;; load instrument compile_limit
;; prelude
;; manifest limits: { compile_memory: 64MiB }
;; memory ends
(func $bomb (param i32) (result i32)
;; repeat 20_000
(block (br_if 0 (i32.eq (local.get 0) (i32.const {i}))) (local.set 0 (i32.add (local.get 0) (i32.const {i}))))
;; end
(local.get 0))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (drop (call $bomb (i32.const 1))) (i32.const 1024))
