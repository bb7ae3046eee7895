;; load validate invalid
;; whole
(component
(type $t0 (list u8))
;; repeat 10_000
(type $t{i+1} (list $t{i}))
;; end
)
