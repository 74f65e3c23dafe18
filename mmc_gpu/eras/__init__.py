"""Models over eras: their data, the metrics, every era's scores, and what the scores amount to.

Words, from the data to the result:
    Label: an era's name.
    EraSource: data over eras, a frame (`FrameEras`) or a file (`PieceEras`, `PartEras`).
    Columns: which column of the data is the target, which is a model, and so on.
    EraRows: one era's rows as a source yields them, in any order.
    Era: the same rows by ascending ids, ready for the metrics.
    Metric: a row of the table of metrics, with the function that scores an era.
    Board: the scores of some consecutive eras, filled era by era.
    Standing: how the models stand in one score on one target, over eras that all of them have.
    EraScores: the finished scores, their summary, and an `EraFault` for each that is missing;
        `mmc_gpu.Evaluation` adds tables, plots and the page.
"""
