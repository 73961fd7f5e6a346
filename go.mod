module github.com/fdqc-cockpit/fdqc

go 1.26
