;; passes
;; behind a component
(component
;; repeat 50_000
(type $t{i+1} (list u8))
;; end
)
