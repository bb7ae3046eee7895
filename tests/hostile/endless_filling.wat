;; evaluate time_limit
;; prelude
;; an instruction that fills a mebibyte looks at no clock until it is done
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (drop (memory.grow (i32.const 16)))
  (loop $again (memory.fill (i32.const 131072) (i32.const 1) (i32.const 1048576)) (br $again))
  (i32.const 1024))
