;; passes
;; prelude
(func (export "bomb") (param i32)
;; repeat 10_000
  block
;; end
;; repeat 10_000
  (br_if {i} (local.get 0))
;; end
;; repeat 10_000
  end
;; end
)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
