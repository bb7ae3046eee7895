;; passes
;; prelude
;; manifest tests: []
;; no case: what a warm-up leaves in the image is the version's own
;; manifest limits: { time: 1s }
;; fills 16 MiB, and denies when it finds a byte of what it or another policy left there
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 256)))
  (local.set $at (i32.const 131072))
  (loop $look
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (i32.store8 (i32.const 1024) (i32.const 5))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $look (i32.lt_u (local.get $at) (i32.const 16777216))))
  (memory.fill (i32.const 131072) (i32.const 0xff) (i32.const 16646144))
  (i32.const 1024))
