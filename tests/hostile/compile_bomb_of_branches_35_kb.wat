;; passes
;; prelude
;; sequential branches, each with two values that live across all of them
(func (export "bomb") (param i32 i32) (result i32)
;; repeat 5000
  (if (local.get 0) (then (local.set 1 (local.get 0))))
;; end
  (local.get 1))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
