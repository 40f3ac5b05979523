package boards

// experiments is the board beside `worker lab`: the execution models side by side.
func experiments() board {
	return board{
		file: "experiments", uid: "twinlane-experiments", title: "Experiments",
		question: "What does each execution model cost, in threads, goroutines and waiting tasks, and what does it refuse?",
		from:     "now-15m",
		rows: []row{
			{panels: nil},
		},
	}
}
