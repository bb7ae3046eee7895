;; load validate invalid
;; whole
;; thirty lines, two to the thirtieth fields
(component
(type $t0 (tuple u8 u8))
;; repeat 30
(type $t{i+1} (tuple $t{i} $t{i}))
;; end
)
