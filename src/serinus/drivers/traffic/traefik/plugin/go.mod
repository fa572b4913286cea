module serinus

go 1.22
