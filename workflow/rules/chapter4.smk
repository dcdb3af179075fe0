"""Chapter 4 and appendix A, GAN dissection. Dissections and tables are made by chapter3.smk."""


rule chapter4:
    """The tables, figures and unit pages of chapter 4, of appendix A and of the generators of the PNAS paper."""
    input:
        rows_of(4),
        pages_of(CONFIG.generated),
