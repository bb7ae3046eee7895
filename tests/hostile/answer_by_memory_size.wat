;; passes
;; prelude
;; manifest tests: []
;; no case: what a warm-up leaves in the image is the version's own
;; denies when it finds the memory that an earlier evaluation grew
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (if (i32.ne (memory.size) (i32.const 2)) (then (i32.store8 (i32.const 1024) (i32.const 5))))
  (drop (memory.grow (i32.const 100)))
  (i32.const 1024))
