;; evaluate memory_limit
;; prelude
;; each of them stays below the limit
(memory $second 1)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (local $i i32)
  (loop $again
    (drop (memory.grow (i32.const 16)))
    (drop (memory.grow $second (i32.const 16)))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 60))))
  (i32.const 1024))
